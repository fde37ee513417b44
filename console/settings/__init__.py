"""What an operator has set for the console, and what it remembers of them."""
