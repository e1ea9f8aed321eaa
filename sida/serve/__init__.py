"""The detector as a service: HTTP in, verdicts out. Needs `pip install 'sida[serve]'`."""

from sida.serve.app import app_around, create_app
from sida.serve.keys import Key, read_keys
from sida.serve.run import bind, serve
from sida.serve.settings import ServeSettings

__all__ = ["Key", "ServeSettings", "app_around", "bind", "create_app", "read_keys", "serve"]
