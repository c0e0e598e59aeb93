"""A React application without a bundler: compiled by TypeScript, with React itself as ES modules."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from fakes import node
from fakes.repository import ROOT

OPTIONS = {
    "strict": True, "target": "es2022", "lib": ["es2022", "dom", "dom.iterable"], "module": "es2022",
    "moduleResolution": "bundler", "jsx": "react-jsx", "types": [], "outDir": "out",
}  # fmt: skip
PAGE = """<!doctype html><title>app</title><link rel="icon" href="data:,">
<script type="importmap">{"imports": IMPORTS}</script><div id="root"></div>
<script type="module" src="/main.js"></script>"""


def compiled(sources: Path, folder: Path, issuer: str) -> dict[str, str]:
    """Compile an application strictly, and return what a server answers: a text for each path."""
    for package in ("typescript", "react", "react-dom", "@types/react", "@types/react-dom"):
        node.need(package)
    shutil.copytree(sources, folder)
    for name in ("authkit.js", "authkit.d.ts"):
        shutil.copy(ROOT / "authkit_issuer/http/assets" / name, folder)
    (folder / "auth.ts").write_text((folder / "auth.ts").read_text().replace("http://127.0.0.1:8000", issuer))
    (folder / "node_modules").symlink_to(node.FOLDER / "node_modules")
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "files": ["main.tsx"]}))
    compiler = str(node.FOLDER / "node_modules" / ".bin" / "tsc")
    done = subprocess.run([compiler, "-p", "."], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    modules = _react()
    answers = {f"/{path.name}": path.read_text() for path in (folder / "out").glob("*.js")}
    answers |= {f"/react/{name}.js": text for name, text in modules.items()}
    page = PAGE.replace("IMPORTS", json.dumps({name: f"/react/{name}.js" for name in modules}))
    return answers | {"/authkit.js": (folder / "authkit.js").read_text(), "/": page}


def _react() -> dict[str, str]:
    program = (ROOT / "tests/node/react_modules.mjs").read_text()
    done = subprocess.run(
        [node.node(), "--input-type=module", "-e", program],
        cwd=node.FOLDER, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found
