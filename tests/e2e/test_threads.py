"""Any number of threads gives the same bytes, on heaps that are worth more than one."""

import pytest

from support import inspect

SCRIPT = """
local kind = %r
tracker = setmetatable({}, {__mode = "k"})
local Entity = {__name = "Entity"}
Entity.__index = Entity
entities, listeners = {}, {}
local function make(i)
  local e = setmetatable({id = i, name = "entity " .. i, pos = {x = i, y = -i}}, Entity)
  e.on_hit = function() return e.id end
  tracker[e] = {desc = "entity of kind " .. i %% 7, time = 1000 + i}
  return e
end
for i = 1, 6000 do
  entities[i] = make(i)
  entities[i].owner = entities[i // 2 + 1]
end
if kind == "aged" then
  math.randomseed(7)
  for _ = 1, 12000 do
    local i = math.random(#entities)
    if i %% 5 == 0 then listeners[#listeners + 1] = entities[i].on_hit end
    entities[i] = make(i)
    entities[i].owner = entities[math.random(#entities)]
  end
end
print "READY" io.flush() io.read()
"""


@pytest.mark.parametrize("kind", ["fresh", "aged"])
def test_same_bytes(make_core, tmp_path, kind):
    script = tmp_path / f"heap-{kind}.lua"
    script.write_text(SCRIPT % kind)
    core = make_core(script, "kernel").path
    for command in (
        ["states"],
        ["leaks"],
        ["leaks", "--json"],
        ["heap", "--by", "class"],
        ["triage", "--json"],
        ["retained"],
        ["registry"],
        ["find", "--type", "table", "--limit", "50", "--sort", "retained"],
        ["paths", "entities[77]", "-k", "5"],
        ["check"],
    ):
        one = inspect(core, *command, "--threads", "1")
        assert one.returncode in (0, 1), one.stderr
        for threads in ("2", "3", "16"):
            some = inspect(core, *command, "--threads", threads)
            assert some.stdout == one.stdout
