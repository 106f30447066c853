"""The report as one page that a person keeps open: a budget to move, a plot to read, runs to find.

`data.py` says what the page knows, as plain data; `render.py` fills the template with it and with
the report's story; `page.js` shows it. Text from records reaches the page as text alone: through
the template, which escapes it, or as JSON, which the script puts into text nodes.
"""
