"""What everything else stands on: sources and targets, the attribution, the rule of citation, files, progress."""
