"""The verbs, as functions that every door calls: they return what they found, and print nothing."""
