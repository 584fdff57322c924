"""Conformance and TLS: h2spec, sslyze."""

import re
import xml.etree.ElementTree

from rig import HOST
from sslyze import (
    RobotScanResultEnum,
    ScanCommand,
    Scanner,
    ServerNetworkConfiguration,
    ServerNetworkLocation,
    ServerScanRequest,
    ServerScanStatusEnum,
    ScanCommandAttemptStatusEnum,
)

# A case that fails, and why that is right: (door, case).
EXPECTED = {
    (
        "open",
        "Sends invalid connection preface",
    ): "the port speaks HTTP/1.1 as well: what is no preface is answered as a malformed request, then closed",
}

H2SPEC_CASES = 146


def h2spec(context):
    notes = []
    for door in ("open", "open-tls"):
        report = context.folder / f"h2spec-{door}.xml"
        text = context.run(
            "h2spec",
            "--host",
            "127.0.0.1",
            "--port",
            context.ports[door],
            "--path",
            "/",
            "--timeout",
            3,
            "--strict",
            "--junit-report",
            report,
            *(["--tls", "--insecure"] if door == "open-tls" else []),
            check=False,
            timeout=300,
        )
        cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
        failed = [
            case.get("classname")
            for case in cases
            if case.find("failure") is not None or case.find("error") is not None
        ]
        unexpected = [name for name in failed if (door, name) not in EXPECTED]
        assert not unexpected, f"{unexpected}\n{text[text.find('Failures'):]}"
        total = int(re.search(r"(\d+) tests", text).group(1))
        assert total == H2SPEC_CASES, text[-300:]
        notes.append(f"{door}: {total - len(failed)} of {total}")
        notes.extend(f"expected to fail: {name}: {EXPECTED[door, name]}" for name in failed)
    return "; ".join(notes)


def sslyze(context):
    commands = {
        ScanCommand.CERTIFICATE_INFO,
        ScanCommand.SSL_2_0_CIPHER_SUITES,
        ScanCommand.SSL_3_0_CIPHER_SUITES,
        ScanCommand.TLS_1_0_CIPHER_SUITES,
        ScanCommand.TLS_1_1_CIPHER_SUITES,
        ScanCommand.TLS_1_2_CIPHER_SUITES,
        ScanCommand.TLS_1_3_CIPHER_SUITES,
        ScanCommand.TLS_COMPRESSION,
        ScanCommand.TLS_1_3_EARLY_DATA,
        ScanCommand.OPENSSL_CCS_INJECTION,
        ScanCommand.TLS_FALLBACK_SCSV,
        ScanCommand.HEARTBLEED,
        ScanCommand.ROBOT,
        ScanCommand.SESSION_RENEGOTIATION,
        ScanCommand.SESSION_RESUMPTION,
        ScanCommand.ELLIPTIC_CURVES,
    }
    location = ServerNetworkLocation(hostname=HOST, ip_address="127.0.0.1", port=context.ports["tls"])
    scanner = Scanner()
    scanner.queue_scans(
        [
            ServerScanRequest(
                server_location=location,
                network_configuration=ServerNetworkConfiguration(tls_server_name_indication=HOST),
                scan_commands=commands,
            )
        ]
    )
    result = next(iter(scanner.get_results()))
    assert result.scan_status == ServerScanStatusEnum.COMPLETED, result.connectivity_error_trace
    found = result.scan_result
    for command in commands:
        attempt = getattr(found, command.value)
        assert attempt.status == ScanCommandAttemptStatusEnum.COMPLETED, (command, attempt.error_trace)
    for old in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        accepted = getattr(found, f"{old}_cipher_suites").result.accepted_cipher_suites
        assert not accepted, (old, accepted)
    suites = []
    for version in ("tls_1_2", "tls_1_3"):
        accepted = getattr(found, f"{version}_cipher_suites").result.accepted_cipher_suites
        names = sorted(accepted.cipher_suite.name for accepted in accepted)
        suites.append(f"{version}: {', '.join(names)}")
        assert names, version
        for name in names:
            assert "GCM" in name or "CHACHA20" in name, f"{name} does not authenticate what it encrypts"
            assert version == "tls_1_3" or name.startswith("TLS_ECDHE_"), f"{name} has no ephemeral key"
    assert not found.tls_compression.result.supports_compression
    assert not found.tls_1_3_early_data.result.supports_early_data
    assert not found.openssl_ccs_injection.result.is_vulnerable_to_ccs_injection
    assert not found.heartbleed.result.is_vulnerable_to_heartbleed
    assert found.tls_fallback_scsv.result.supports_fallback_scsv
    assert found.robot.result.robot_result in (
        RobotScanResultEnum.NOT_VULNERABLE_NO_ORACLE,
        RobotScanResultEnum.NOT_VULNERABLE_RSA_NOT_SUPPORTED,
    ), found.robot.result
    renegotiation = found.session_renegotiation.result
    assert not renegotiation.is_vulnerable_to_client_renegotiation_dos
    assert renegotiation.supports_secure_renegotiation
    curves = [curve.name for curve in found.elliptic_curves.result.supported_curves]
    assert curves and not set(curves) & {"secp192r1", "sect163k1", "secp160r1"}, curves
    return f"{'; '.join(suites)}; curves: {', '.join(curves)}"


CHECKS = [
    ("h2spec", h2spec),
    ("sslyze", sslyze),
]
