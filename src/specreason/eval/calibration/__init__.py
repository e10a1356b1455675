"""How well the base model's scores tell right steps from wrong ones, and the threshold that follows."""
