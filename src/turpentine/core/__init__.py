"""What every room stands on: errors, files that appear whole, hashing, plug-ins, progress and formatting."""
