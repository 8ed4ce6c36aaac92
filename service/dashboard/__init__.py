"""Pages for people: views, templates and static files. They ask what the API asks, and their scripts call the API."""
