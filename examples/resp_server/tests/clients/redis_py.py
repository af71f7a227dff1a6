"""A session of redis-py: python3 redis_py.py PORT [CERTIFICATE]. Fails at the first reply that is not as expected.

With a certificate it speaks TLS, and trusts nothing else.
"""

import sys

import redis

options = {"port": int(sys.argv[1])}
if len(sys.argv) > 2:
    options |= {"ssl": True, "ssl_ca_certs": sys.argv[2], "ssl_check_hostname": True}


def session(version):
    client = redis.Redis(**options, protocol=version, decode_responses=True, client_name="tester")
    assert client.ping() and client.flushall()
    assert client.client_getname() == "tester"
    info = client.client_info()
    assert (info["id"], info["resp"], info["lib-name"]) == (client.client_id(), str(version), "redis-py")

    assert client.set("key", "value") is True and client.get("key") == "value"
    assert client.get("nothing") is None
    assert client.set("key", "new", nx=True) is None
    assert client.set("key", "new", xx=True, ex=100, get=True) == "value"
    assert 98 <= client.ttl("key") <= 100 and client.expire("key", 200, lt=True) is False
    assert client.expiretime("key") > 1_700_000_000 and client.getex("key", persist=True) == "new"
    assert client.ttl("key") == -1 and client.type("key") == "string"
    assert client.setex("short", 100, "v") and client.psetex("short", 100_000, "v")
    assert client.getset("short", "w") == "v" and client.getdel("short") == "w"
    assert client.setnx("short", 1) and client.unlink("short", "nothing") == 1
    assert client.mset({"a": 1, "b": 2}) and client.mget("a", "nothing", "b") == ["1", None, "2"]
    assert client.incrby("a", 41) == 42 and client.incrbyfloat("b", 0.5) == 2.5
    assert client.copy("a", "c") and client.rename("c", "d") and client.randomkey() in "a b d key"

    big = "x" * 3_000_000
    assert client.set("big", big) and client.get("big") == big and client.strlen("big") == len(big)
    assert client.getrange("big", 0, 2) == "xxx" and client.delete("big") == 1

    for number in range(1000):
        client.set(f"many:{number}", number)
    assert len(set(client.scan_iter("many:*", count=7, _type="string"))) == 1000

    with client.pipeline() as pipe:  # MULTI and EXEC, unless told otherwise
        assert pipe.set("n", 1).incr("n").get("nothing").execute() == [True, 2, None]
    with client.pipeline() as pipe:
        pipe.watch("n")
        client.incr("n")  # from another connection
        pipe.multi()
        pipe.set("n", 100)
        try:
            pipe.execute()
            raise AssertionError("the key was changed meanwhile")
        except redis.WatchError:
            pass
    assert client.transaction(lambda pipe: pipe.multi() or pipe.incr("n"), "n") == [4]
    try:
        client.lpush("list", 1)
        raise AssertionError("there are no lists")
    except redis.ResponseError as error:
        assert "unknown command" in str(error)

    assert len(client.time()) == 2 and client.config_get("save") == {"save": ""}
    assert client.info()["redis_version"] and client.info("keyspace")["db0"]["keys"] == client.dbsize()
    assert client.command_count() == len(client.command()) > 50
    client.close()


for version in [2, 3]:
    session(version)
print("as expected")
