"""Does a model know how sure it is?"""
