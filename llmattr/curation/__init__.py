"""What to do with scores of training rows: select, remove and train again."""
