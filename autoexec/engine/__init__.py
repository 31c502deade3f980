"""The one floor that knows everybody: it samples, decides, runs and replans."""
