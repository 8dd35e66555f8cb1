"""From what the user gives to tokens and back: splitting, chats, prompts, training rows."""
