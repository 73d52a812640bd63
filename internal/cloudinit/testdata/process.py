"""Prints what cloud-init makes of a NoCloud seed in a folder, as JSON.

It uses cloud-init's own code: that of the datasource to read the files, that of
user data to split and merge them, and that of the users module.
"""

import json
import logging
import sys
import tempfile

from cloudinit import handlers, helpers, user_data, util
from cloudinit.distros import ug_util
from cloudinit.handlers.cloud_config import CloudConfigPartHandler


class Distro:
    """Distro has the default user of Debian's cloud images."""

    def get_default_user(self):
        return {
            "name": "debian",
            "lock_passwd": True,
            "groups": ["adm", "sudo"],
            "sudo": ["ALL=(ALL) NOPASSWD:ALL"],
            "shell": "/bin/bash",
        }


logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
seed = util.pathprefix2dict(
    sys.argv[1] + "/",
    required=["user-data", "meta-data"],
    optional=["vendor-data", "network-config"],
)
with tempfile.TemporaryDirectory() as folder:
    paths = helpers.Paths({"cloud_dir": folder, "run_dir": folder})
    message = user_data.UserDataProcessor(paths).process(seed["user-data"])
    config = CloudConfigPartHandler(paths)
    parts = []
    for part in message.walk():
        if user_data.is_skippable(part):
            continue
        kind, body = part.get_content_type(), util.fully_decoded_payload(part)
        if isinstance(body, bytes):
            body = body.decode()
        if kind == "text/cloud-config":
            config.handle_part(
                None, kind, part.get_filename(), body, None, dict(part)
            )
        else:
            parts.append({"type": kind, "body": body})
    merged = config.cloud_buf
users, _ = ug_util.normalize_users_groups(json.loads(json.dumps(merged)), Distro())
json.dump(
    {
        "meta": util.load_yaml(seed["meta-data"]),
        "network": util.load_yaml(seed.get("network-config", b"") or b"{}"),
        "config": merged,
        "users": users,
        "parts": parts,
    },
    sys.stdout,
)
