"""What is true of one architecture: components, prediction, schedule, sites."""
