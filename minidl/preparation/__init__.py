"""What happens to data before training: standardising, and splitting off a part that is not trained on."""
