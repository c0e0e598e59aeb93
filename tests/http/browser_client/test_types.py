"""The client and its declarations agree, under the strictest rules of TypeScript, and need nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from fakes import node
from fakes.repository import ROOT

ASSETS = ROOT / "authkit_issuer/http/assets"
OPTIONS = {
    "strict": True, "checkJs": True, "allowJs": True, "noEmit": True, "types": [], "target": "es2022",
    "lib": ["es2022", "dom", "dom.iterable"], "module": "es2022", "moduleResolution": "bundler",
}  # fmt: skip
SAME = """
import type * as declared from "./authkit.js";
import * as written from "./written.js";
export const client: typeof declared = written;
import type * as declaredPasskeys from "./passkeys.js";
import * as writtenPasskeys from "./written_passkeys.js";
export const passkeys: typeof declaredPasskeys = writtenPasskeys;
import type * as declaredPasswordless from "./passwordless.js";
import * as writtenPasswordless from "./written_passwordless.js";
export const passwordless: typeof declaredPasswordless = writtenPasswordless;
import type * as declaredRecovery from "./recovery.js";
import * as writtenRecovery from "./written_recovery.js";
export const recovery: typeof declaredRecovery = writtenRecovery;
"""
USED = """
import { AuthkitError, createClient, type SecondFactor, type User } from "./authkit.js";
const auth = createClient({ issuer: "https://id.example", apis: ["https://api.example"] });
export async function signIn(identifier: string, password: string): Promise<User | null | SecondFactor> {
  try {
    const result = await auth.signIn({ identifier, password });
    if (result.secondFactor) return result.secondFactor;
    return result.user;
  } catch (error) {
    if (error instanceof AuthkitError) setTimeout(signIn, (error.retryAfter ?? 0) * 1000);
    throw error;
  }
}
export const stop: () => void = auth.onChange(({ reason }) => console.log(reason?.length));
export const api: typeof fetch = auth.fetch;
"""
WRONG = [
    "auth.signIn({ identifier: 'a' })",
    "auth.signIn({ identifier: 'a', password: 'b', pasword: 'c' })",
    "(await auth.signIn({ identifier: 'a', password: 'b' })).user.id",
    "auth.resetPassword({ code: '1' }, 'x')",
    "createClient({})",
    "createClient({ issuer: 'x', storage: 'localStorage' })",
]


def complaints(folder: Path, **files: str) -> list[str]:
    """Return what the compiler says of programs beside the client."""
    node.need("typescript")
    shutil.copy(ASSETS / "authkit.d.ts", folder)
    shutil.copy(ASSETS / "authkit.js", folder / "written.js")
    shutil.copy(ASSETS / "passkeys.d.ts", folder)
    shutil.copy(ASSETS / "passkeys.js", folder / "written_passkeys.js")
    shutil.copy(ASSETS / "passwordless.d.ts", folder)
    shutil.copy(ASSETS / "passwordless.js", folder / "written_passwordless.js")
    shutil.copy(ASSETS / "recovery.d.ts", folder)
    shutil.copy(ASSETS / "recovery.js", folder / "written_recovery.js")
    for name, text in files.items():
        (folder / f"{name}.ts").write_text(text)
    settings = {"compilerOptions": OPTIONS, "files": [f"{name}.ts" for name in files]}
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    compiler = str(node.FOLDER / "node_modules" / ".bin" / "tsc")
    done = subprocess.run([compiler, "-p", "."], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def test_the_client_is_what_its_declarations_say_and_a_wrong_call_is_refused_by_the_compiler(tmp_path):
    head = "import { createClient } from './authkit.js';\nconst auth = createClient({ issuer: 'x' });\n"
    files = {f"wrong{number}": f"{head}{call};\nexport {{}};" for number, call in enumerate(WRONG)}
    said = complaints(tmp_path, same=SAME, used=USED, **files)  # at once: the compiler starts slowly
    assert [line for line in said if not line.startswith(("wrong", " "))] == []
    assert {line.partition(".ts")[0] for line in said if line.startswith("wrong")} == set(files)


def test_the_client_is_one_module_without_dependencies_of_less_than_400_lines():
    text = (ASSETS / "authkit.js").read_text("utf-8")
    assert not re.search(
        r"^\s*(?:import\b|export\b.*\bfrom\b)|\bimport\(\s*['\"](?!\./authkit\.js)", text, re.MULTILINE
    )
    assert len(text.splitlines()) < 400
    assert max(map(len, text.splitlines())) <= 120
    # Nothing that turns a text into markup or code.
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text
    )


def test_every_code_of_the_client_is_in_the_declarations():
    written = set(re.findall(r'new AuthkitError\("(\w+)"', (ASSETS / "authkit.js").read_text("utf-8")))
    text = (ASSETS / "authkit.d.ts").read_text("utf-8")
    (listed,) = re.findall(r"or one of the client: ([^.]+)\.", text)
    declared = set(re.findall(r"`(\w+)`", listed)) - {"unexpected_answer"}
    assert written == declared
