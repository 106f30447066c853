"""From YAML to a typed run: recipes, options, reading."""
