"""What models say of a text, asked of endpoints that speak the OpenAI API."""
