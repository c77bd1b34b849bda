"""Makes patterns.json of the regexes.yaml of uap-core: python update.py REGEXES.yaml (needs PyYAML).

The package ua-parser of crates.io has that file in its folder uap-core. Kept are the patterns of browsers and
systems, and of those of devices the ones that say Spider, with the two before them that tell phones of Cubot
and browsers called Silk from a bot and silk. The other devices would double the memory and treble the time to compile them.
"""

import json
import pathlib
import sys

import yaml

ABOUT = (
    "Made by update.py of regexes.yaml of uap-core, Copyright 2009 Google Inc., Apache License 2.0; changed: "
    "JSON, and without most patterns of devices. See NOTICE."
)


def is_kept(device):
    says = (device.get("device_replacement"), device.get("brand_replacement"))
    return "Spider" in says or "Cubot" in says or "Silk" in device["regex"]


patterns = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
lists = {
    "user_agent_parsers": patterns["user_agent_parsers"],
    "os_parsers": patterns["os_parsers"],
    "device_parsers": [device for device in patterns["device_parsers"] if is_kept(device)],
}
parts = [f' "about": {json.dumps(ABOUT)}']
for name, entries in lists.items():
    lines = ",\n".join("  " + json.dumps(entry) for entry in entries)
    parts.append(f' "{name}": [\n{lines}\n ]')
text = "{\n" + ",\n".join(parts) + "\n}\n"
pathlib.Path(__file__).with_name("patterns.json").write_text(text, encoding="utf-8")
