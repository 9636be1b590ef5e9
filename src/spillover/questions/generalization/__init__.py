"""What did fine-tuning do to each task, and what is the verdict?"""
