"""Should a small classifier stand in front of the model?"""
