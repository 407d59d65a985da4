"""gdb's own print shows Lua's structures as values, if there is debug info of them."""

import pytest

from support import document, gdb, gdb_output


@pytest.fixture(scope="module")
def printed(server_core):
    start = ["/usr/bin/lua5.4", server_core.path]
    if "lua_State" not in gdb("ptype struct lua_State", start=start).stdout:
        pytest.skip("liblua5.4-0-dbg is not installed")
    main = document(server_core.path, "states")["vms"][0]["address"]

    def show(expression, command="print"):
        text = expression.replace("L", f"((struct lua_State *){main})")
        return gdb_output(f"{command} {text}", start).split("= ", 1)[1].strip()

    show.main = main
    return show


@pytest.mark.parametrize(
    "expression, text",
    [
        ("L", "thread {main}"),
        ("L->l_G->tmname[0]", '"__index"'),
        ("(struct GCObject *)L->l_G->tmname[1]", '"__newindex"'),
        ("(struct GCObject *)L", "thread {main}"),
        ("L->l_G->nilvalue", "nil"),
        ("(struct Table *)0", "(struct Table *) 0x0"),
        ("(struct Table *)0x1234", "0x1234 (unreadable)"),
        ("(struct TString *)0x1234", "0x1234 (unreadable)"),
    ],
)
def test_values(printed, expression, text):
    assert printed(expression) == text.format(main=printed.main)


def test_table(printed):
    shown = printed("L->l_G->l_registry")
    assert shown.startswith("table 0x") and "(array " in shown


def test_raw(printed):
    """print/r shows what is there."""
    assert printed("L", "print/r") == f"(struct lua_State *) {printed.main}"
    assert printed("*L").startswith("{next = ")


def test_garbage_as_text(printed):
    """No byte of the program reaches the terminal as it is."""
    shown = printed("(struct TString *)&L->l_G")
    assert shown.isprintable() and shown.isascii()
