"""Which recipe keeps the most?"""
