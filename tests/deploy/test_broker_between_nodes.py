"""What the chart says of TLS between the broker's nodes, in the Erlang that they run on."""

import subprocess
from pathlib import Path

import pytest

from laundry_servers import choice, isolate, rootfs
from laundry_servers.authority import Authority
from laundry_servers.choice import Kind
from laundry_servers.progress import Quiet
from tests.deploy.test_chart import named, rendered

pytestmark = pytest.mark.servers

MOUNTED = "/etc/rabbitmq/between-nodes"
# The replication of streams takes terms only, where the rest evaluates the file: both must read the same.
# Then a node waits for another, which calls it by each name.
CALLS = """
{ok, _} = application:ensure_all_started(ssl),
[File | Names] = init:get_plain_arguments(),
{ok, [Options]} = file:consult(File),
Options = ssl_dist_sup:consult(File),
[Server, Client] = [proplists:get_value(Side, Options) || Side <- [server, client]],
Call = fun(Name) ->
    {ok, Listening} = ssl:listen(0, [{active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, {_, Port}} = ssl:sockname(Listening),
    spawn(fun() ->
        {ok, Taken} = ssl:transport_accept(Listening),
        ssl:handshake(Taken, Server, 60000)
    end),
    Said = ssl:connect({127, 0, 0, 1}, Port, Client ++ [{server_name_indication, Name}], 60000),
    io:format("~s ~s~n", [Name, element(1, Said)])
end,
lists:foreach(Call, Names),
halt().
"""


def test_a_node_takes_another_by_each_name_that_it_calls_it_by(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    if choice.choose(Kind(pytestconfig.getoption("--laundry-servers"))).kind is not Kind.NATIVE:
        pytest.skip("needs the Erlang of native brokers")
    objects = rendered()
    names = named(objects, "Certificate", "laundry-rabbitmq")["spec"]["dnsNames"]
    told = named(objects, "ConfigMap", "laundry-rabbitmq-between-nodes")["data"]["tls.config"]
    authority = Authority(tmp_path)
    node = authority.issue("node", names)
    for mounted, file in (("ca.crt", authority.ca_file), ("tls.crt", node), ("tls.key", node)):
        told = told.replace(f"{MOUNTED}/{mounted}", str(file))
    options = tmp_path / "tls.config"
    options.write_text(told)
    pods = [f"laundry-rabbitmq-server-{number}" for number in range(3)]
    # The name of the pod, which streams try first; that of the node; and one of nobody here.
    called = [*pods, *(f"{pod}.laundry-rabbitmq-nodes.laundry" for pod in pods), "elsewhere"]
    command = isolate.command(
        rootfs.ensure(Quiet()),
        ["/usr/bin/erl", "-noshell", "-eval", CALLS, "-extra", str(options), *called],
        environment={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        folders=[tmp_path],
    )
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = dict(line.split() for line in ran.stdout.splitlines() if line.startswith(tuple(called)))
    assert said == {name: "error" if name == "elsewhere" else "ok" for name in called}, ran.stderr
