"""gRPC's own interoperability cases, by the client and the server of grpc-go."""

import socket
import subprocess
import time

import rig

# Every case that needs no account with a cloud, but for `pick_first_unary`: it wants a name that this server does not
# tell.
CASES = (
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "rpc_soak",
    "channel_soak",
    "orca_per_rpc",
    "orca_oob",
)


class Server:
    """The server, for as long as it is asked."""

    def __init__(self, program, port):
        self.process = subprocess.Popen(
            [program, f"--port={port}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=rig.environment(),
        )
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server of grpc-go does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.kill()
        self.process.wait()


# The balancer of the client that keeps what these cases compare.
BALANCER = '--service_config_json={"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}'


def run_case(context, case, port, *arguments):
    """What went wrong with it, or nothing."""
    try:
        context.run(
            "grpc-go client",
            "--server_host=127.0.0.1",
            f"--server_port={port}",
            f"--test_case={case}",
            "--soak_iterations=100",
            # Another program on this machine may have the processor for a while.
            "--soak_per_iteration_max_acceptable_latency_ms=5000",
            "--soak_overall_timeout_seconds=60",
            *([BALANCER] if case.startswith("orca_") else []),
            *arguments,
            timeout=90,
        )
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return str(error)[-1500:]
    return ""


def grpc_go(context):
    under_tls = ("--use_tls", "--use_test_ca", f"--ca_file={context.ca}", "--server_host_override=grpc.test")
    port = context.grpc_go_port
    context.tool("grpc-go client")
    with Server(context.tool("grpc-go server"), port):
        without = [case for case in CASES if not run_case(context, case, port)]
        failed = [
            f"{case} at {door}: {wrong}"
            for door, arguments in (("open", ()), ("tls", under_tls))
            for case in without
            if (wrong := run_case(context, case, context.ports[door], *arguments))
        ]
    assert not failed, "\n".join(failed)
    assert len(without) == len(CASES), f"without the gateway fail: {set(CASES) - set(without)}"
    return f"{len(without)} cases at a door in clear text and at one under TLS"


CHECKS = [("grpc-go", grpc_go)]
