"""Do the claims of the generalization paper hold here?"""
