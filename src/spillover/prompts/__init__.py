"""How it is asked: templates, demonstrations and their token ids."""
