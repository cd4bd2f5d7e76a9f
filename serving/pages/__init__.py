"""The pages people look at. Plain HTML, CSS and JavaScript, nothing loaded from outside."""
