"""The stream processor: views that Faust derives from the topics, user profiles and traffic windows."""
