"""The terminal and the standard streams: they may close, stand still or fill up, and hold no engine up."""
