"""A small demo model behind the OpenAI API, which can be told to misbehave."""
