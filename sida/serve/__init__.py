"""The detector as a service: HTTP in, verdicts out. Needs `pip install 'sida[serve]'`."""

from sida.serve.app import app_around, create_app
from sida.serve.keys import Key, read_keys
from sida.serve.options import Options
from sida.serve.run import bind, serve

__all__ = ["Key", "Options", "app_around", "bind", "create_app", "read_keys", "serve"]
