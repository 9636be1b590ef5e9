"""How far did the model move, and does that go with lost score?"""
