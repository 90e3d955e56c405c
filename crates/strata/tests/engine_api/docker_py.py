"""What people do with docker-py, on `strata serve`: the socket is the first argument, the image `box` is there.

Each check is what Docker Engine 28 answers. What is not so ends the script with a traceback.
"""

import base64
import io
import os
import socket
import sys
import tarfile
import time
import warnings

warnings.simplefilter("ignore")
import docker

SOCKET = sys.argv[1]
client = docker.DockerClient(base_url=f"unix://{SOCKET}", version="auto", timeout=30)
api = client.api
old = docker.APIClient(base_url=f"unix://{SOCKET}", version="1.44")


def refused(status, words, call):
    try:
        call()
    except docker.errors.APIError as error:
        assert (error.status_code, words in error.explanation) == (status, True), error
    else:
        raise AssertionError(f"not refused: {words}")


def until(connection, words):
    """Reads as far as these words."""
    connection.settimeout(20)
    received = b""
    while words not in received:
        part = connection.recv(4096)
        assert part, received
        received += part


def until_closed(connection):
    """What comes until the other side ends it; a side that does not is a failure."""
    connection.settimeout(20)
    received = b""
    try:
        while part := connection.recv(4096):
            received += part
    except ConnectionResetError:
        pass
    return received


def programs():
    assert client.containers.run("box", "echo hello", network_mode="none", remove=True) == b"hello\n"
    try:
        client.containers.run("box", "sh -c 'echo no >&2; exit 3'", network_mode="none", remove=True)
    except docker.errors.ContainerError as error:
        assert (error.exit_status, error.stderr) == (3, b"no\n"), error
    else:
        raise AssertionError("exit code 3 is no failure")

    box = client.containers.run("box", "sleep 60", network_mode="none", detach=True, name="sleeper")
    assert box.exec_run(["sh", "-c", "echo out; echo err >&2; exit 5"], demux=True) == (5, (b"out\n", b"err\n"))
    # The one who starts it says how its output is told, not the one who made it.
    made = api.exec_create(box.id, ["sh", "-c", "echo typed"], tty=True)
    assert api.exec_start(made, demux=True) == (b"typed\r\n", None)
    assert api.exec_inspect(made)["ExitCode"] == 0
    made = api.exec_create(box.id, ["sh", "-c", "echo typed"], tty=True)
    assert api.exec_start(made, tty=True) == b"typed\r\n"

    made = api.exec_create(box.id, "cat", stdin=True, tty=True, detach_keys="ctrl-x,y")
    talk = api.exec_start(made, tty=True, socket=True)._sock
    talk.sendall(b"one\n")
    until(talk, b"one\r\none\r\n")
    talk.sendall(b"\x18y")
    until_closed(talk)
    assert api.exec_inspect(made)["Running"] is True
    refused(400, "Invalid detach keys (ctrl-) provided", lambda: api.exec_create(box.id, "cat", detach_keys="ctrl-"))

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("note")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    assert box.put_archive("/tmp", archive.getvalue())
    stream, stat = box.get_archive("/tmp/note")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        assert (stat["size"], tar.extractfile("note").read()) == (5, b"hello")
    assert {"Path": "/tmp/note", "Kind": 1} in box.diff()

    refused(409, "cannot remove container", box.remove)
    box.kill()
    box.reload()
    assert (box.status, box.attrs["State"]["ExitCode"]) == ("exited", 137)

    made = box.commit("made", "1", conf={"Cmd": ["echo", "configured"], "Labels": {"a": "b"}}, changes="USER www")
    assert made.attrs["Parent"] == client.images.get("box").id, made.attrs
    assert old.inspect_image("made:1")["Container"] == box.id
    config = made.attrs["Config"]
    assert (config["Cmd"], config["Labels"], config["User"]) == (["echo", "configured"], {"a": "b"}, "www"), config
    box.remove()
    assert client.containers.run("made:1", network_mode="none", remove=True) == b"configured\n"
    client.images.remove("made:1")


def terminals():
    box = client.containers.create("box", "cat", network_mode="none", tty=True, stdin_open=True, detach=True)
    box.start()
    talk = box.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})._sock
    talk.sendall(b"here\n")
    until(talk, b"here\r\nhere\r\n")
    talk.sendall(b"\x10\x11")
    until_closed(talk)
    box.reload()
    assert box.status == "running"
    box.remove(force=True)

    box = client.containers.create("box", "cat", network_mode="none", stdin_open=True, detach=True)
    box.start()
    talk = websocket(f"/v1.51/containers/{box.id}/attach/ws?stream=1&stdin=1&stdout=1&stderr=1")
    talk.sendall(frame(2, b"to cat\n"))
    assert next_frame(talk) == (2, b"to cat\n")
    talk.sendall(frame(9, b"there?"))
    assert next_frame(talk) == (10, b"there?")
    box.kill()
    assert next_frame(talk)[0] == 8
    box.remove()


def websocket(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(SOCKET)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: docker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return connection


def frame(kind, payload):
    mask = os.urandom(4)
    return bytes([0x80 | kind, 0x80 | len(payload)]) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(payload))


def next_frame(connection):
    head = connection.recv(2, socket.MSG_WAITALL)
    return head[0] & 0x0F, connection.recv(head[1], socket.MSG_WAITALL)


def networks():
    pool = docker.types.IPAMPool("10.203.7.0/24", "10.203.7.0/29", "10.203.7.1", {"printer": "10.203.7.2"})
    net = client.networks.create("a net", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
    assert net.attrs["IPAM"]["Config"] == [
        {
            "Subnet": "10.203.7.0/24",
            "IPRange": "10.203.7.0/29",
            "Gateway": "10.203.7.1",
            "AuxiliaryAddresses": {"printer": "10.203.7.2"},
        }
    ], net.attrs
    refused(400, "invalid name: ", lambda: client.networks.create(" "))
    web = client.containers.run("box", "sleep 60", network="a net", name="web", detach=True, mac_address="02:00:00:00:00:07")
    web.reload()
    place = web.attrs["NetworkSettings"]["Networks"]["a net"]
    assert (place["IPAddress"], place["MacAddress"]) == ("10.203.7.3", "02:00:00:00:00:07"), place
    assert web.exec_run("cat /sys/class/net/eth0/address").output == b"02:00:00:00:00:07\n"
    # Who leaves all networks can come back, before a start as well as after it.
    net.disconnect(web)
    net.connect(web, ipv4_address="10.203.7.6", aliases=["www"])
    web.reload()
    place = web.attrs["NetworkSettings"]["Networks"]["a net"]
    assert (place["IPAMConfig"], place["IPAddress"]) == ({"IPv4Address": "10.203.7.6"}, "10.203.7.6"), place
    app = client.containers.create("box", "sleep 60", network="a net", name="app")
    net.disconnect(app)
    net.connect(app, links=[("web", "peer")])
    app.start()
    for name in ["web", "www", "peer"]:
        found = app.exec_run(["busybox", "nslookup", name]).output.decode()
        assert "Address: 10.203.7.6" in found, found
    refused(403, "active endpoints", net.remove)
    for box in [web, app]:
        box.remove(force=True)
    net.remove()

    one = client.containers.run("box", "sleep 60", name="one", environment={"FOO": "1"}, ports={"80/tcp": None}, detach=True)
    two = client.containers.create("box", "sh -c 'env; cat /etc/hosts'", name="two", links={"one": "my-db"})
    two.start()
    assert two.wait()["StatusCode"] == 0
    told = two.logs().decode()
    one.reload()
    address = one.attrs["NetworkSettings"]["IPAddress"]
    for line in ["MY_DB_NAME=/two/my-db", "MY_DB_ENV_FOO=1", f"MY_DB_PORT_80_TCP_ADDR={address}", f"{address}\tmy-db"]:
        assert line in told, (line, told)
    two.reload()
    assert two.attrs["HostConfig"]["Links"] == ["/one:/two/my-db"]
    names = {box["Id"]: box["Names"] for box in api.containers(all=True)}
    assert names[one.id] == ["/one", "/two/my-db"], names
    api.remove_container("two/my-db", link=True)
    names = {box["Id"]: box["Names"] for box in api.containers(all=True)}
    assert names == {one.id: ["/one"], two.id: ["/two"]}, names
    for box in [one, two]:
        box.remove(force=True)


def images_of_old_clients():
    assert old.inspect_image("box")["ContainerConfig"]["Cmd"] is None
    assert "ContainerConfig" not in api.inspect_image("box")
    refused(404, "No such image: nosuch:latest", lambda: client.containers.create("nosuch"))


def events():
    now = time.time()
    told = api.events(since=now - 3600, until=now + 0.1, filters={"type": "container"}, decode=True)
    actors = [(event["Action"], event["Actor"]["Attributes"]) for event in told]
    actors = [(action, actor) for action, actor in actors if actor["name"] == "sleeper"]
    actions = [action for action, _ in actors if not action.startswith(("exec", "archive", "extract"))]
    assert actions == ["create", "start", "kill", "die", "commit", "destroy"], actions
    attributes = dict(actors)
    assert (attributes["kill"]["signal"], attributes["die"]["exitCode"]) == ("9", "137"), attributes


for check in [programs, terminals, networks, images_of_old_clients, events]:
    begun = time.monotonic()
    check()
    print(f"{check.__name__}: {time.monotonic() - begun:.1f} s")
