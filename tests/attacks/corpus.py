"""Reads the attack tables: text files of `=== id | tries | stopped by` and a program each."""

from dataclasses import dataclass
from pathlib import Path

from code_evolver.core.preamble import PREAMBLE

HERE = Path(__file__).parent
WON = "import sys\ndef won(what=''):\n    print('CROSSED', str(what)[:200])\n    sys.stdout.flush()\n"


@dataclass(frozen=True)
class Attack:
    """One program that means harm."""

    id: str
    tries: str
    stopped_by: str
    body: str

    def bare(self, **places: object) -> bytes:
        """Give the program alone, its places filled in, with `won` defined: for a child without a gate."""
        body = self.body
        for name, value in places.items():
            body = body.replace("{" + name + "}", str(value))
        return (WON + body).encode("utf-8", "surrogatepass")

    def dressed(self) -> bytes:
        """Give it in the form of a workflow, as a clever attacker would: so that only its own deed offends the gate."""
        if self.body.startswith("#raw"):
            raw: bytes = eval(self.body.split("\n", 1)[1])
            return raw
        top, _, inner = self.body.rpartition("#main\n")
        inner = "".join(f"    {line}\n" for line in inner.splitlines())
        start = f"def won(what=''):\n    print(what)\n\ndef main():\n{inner}"
        names = "ToolChain, ToolError, call_llm, call_tool, call_tools_parallel"
        return f'{PREAMBLE}\nfrom node_runtime import {names}\n{top}\n{start}\nif __name__ == "__main__":\n    main()\n'.encode()


def read(name: str) -> list[Attack]:
    """Read one table."""
    text = (HERE / f"{name}.txt").read_text(encoding="utf-8")
    attacks = []
    for part in text.split("\n=== ")[1:]:
        head, _, body = part.partition("\n")
        attack, tries, stopped = (word.strip() for word in head.split("|"))
        attacks.append(Attack(attack, tries, stopped, body + "\n"))
    assert len({attack.id for attack in attacks}) == len(attacks)
    return attacks
