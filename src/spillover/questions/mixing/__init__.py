"""Which data should be mixed in?"""
