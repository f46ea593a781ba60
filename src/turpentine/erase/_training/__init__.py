"""What erasing by fine-tuning needs: fp32 master weights, draws, training states, Adam, checkpoints."""
