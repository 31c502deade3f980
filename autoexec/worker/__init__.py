"""What happens where an item runs: the call itself, and what stands around it."""
