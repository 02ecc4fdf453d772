"""What a report says about energy communities: settlements read, compared and drawn."""
