"""Evidence for people: what is measured in a picture, and the words for it."""
