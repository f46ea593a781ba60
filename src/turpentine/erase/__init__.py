"""Ways to erase a concept, one file a method; what methods that train weights share is in `tuning`."""
