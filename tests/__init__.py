"""The tests, one folder a tier; support/ holds what several of them share."""
