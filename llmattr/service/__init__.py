"""The same verbs over HTTP: one model, one queue, `cite` and `check` in JSON, and a page."""
