"""A page in a headless Chromium, driven over the DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request

import rig
from websockets.sync.client import connect

import browser


class Failed(Exception):
    """The browser refused a command, or a script of the page threw."""


class Browser:
    """A Chromium of its own. Use it as a context."""

    def __init__(self, program, folder):
        self.folder = folder
        environment = rig.environment() | {"HOME": str(folder), "TZ": "Europe/Berlin"}
        self.process = subprocess.Popen(
            [program, *browser.FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _port(self):
        file = self.folder / "DevToolsActivePort"
        until = time.monotonic() + 60
        while not (file.exists() and "/" in file.read_text()):
            assert self.process.poll() is None, f"Chromium ended with {self.process.returncode}"
            assert time.monotonic() < until, "Chromium does not say its port"
            time.sleep(0.05)
        return int(file.read_text().split()[0])

    def page(self):
        """A new page."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port()}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Page(json.load(answer)["webSocketDebuggerUrl"])


class Page:
    """One page. It notes every request and whatever the console says."""

    def __init__(self, address):
        self.socket = connect(address, max_size=None, proxy=None)
        self.last = 0
        self.requests = []
        self.console = []
        self.dialogs = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def close(self):
        self.command("Page.close")
        self.socket.close()

    def command(self, method, **parameters):
        """Sends a command and returns its result."""
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=60))
            if message.get("id") == self.last:
                if "error" in message:
                    raise Failed(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)

    def _note(self, message):
        parameters = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Page.javascriptDialogOpening":
                self.dialogs += 1
            case "Runtime.exceptionThrown":
                self.console.append(json.dumps(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                self.console.append(json.dumps(parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.console.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")

    def run(self, expression):
        """The value of an expression in the page; a promise is waited for."""
        found = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise Failed(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def until(self, expression, patience=20):
        """Waits until an expression is true, and returns its value."""
        until = time.monotonic() + patience
        while True:
            try:
                if value := self.run(expression):
                    return value
            except Failed:
                # Between two documents there may be nothing to look at.
                pass
            assert time.monotonic() < until, f"never true: {expression}\n{self.run('document.body.innerText')[:3000]}"
            time.sleep(0.02)

    def open(self, address):
        self.command("Page.navigate", url=address)

    def size(self, width, height, scale=1):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def media(self, **features):
        """Emulates media features, such as `prefers_color_scheme="dark"`."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.command("Emulation.setEmulatedMedia", features=wanted)

    def key(self, key, text=None, modifiers=0):
        """Presses a key."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowDown": 40}
        # Signs have codes of their own: 46, the number of ".", is that of Delete.
        code = codes.get(key, ord(key.upper()) if len(key) == 1 and key.isalnum() else 0)
        text = text if text is not None else {"Enter": "\r"}.get(key, key if len(key) == 1 else None)
        shared = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.command("Input.dispatchKeyEvent", type="keyDown", **shared, **({"text": text} if text else {}))
        self.command("Input.dispatchKeyEvent", type="keyUp", **shared)

    def type(self, text):
        for character in text:
            self.key(character)

    def screenshot(self, file):
        shot = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        file.write_bytes(base64.b64decode(shot["data"]))
