"""Rules on what people and agents may say, and the pure engine that checks them."""
