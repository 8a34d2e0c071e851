"""A little client of WebDriver, for scripts/screenshots.py."""

import base64
import json
import subprocess
import time
import urllib.request

ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1"]


class Browser:
    """Chromium, by way of chromedriver."""

    def __enter__(self):
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for line in self.driver.stdout:
            if "successfully on port" in line:
                self.base = f"http://127.0.0.1:{line.rsplit(maxsplit=1)[1].strip('.')}"
                break
        self.session = ""
        options = {"args": ARGUMENTS}
        wanted = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
        try:
            self.session = "/session/" + self.ask("POST", "/session", {"capabilities": wanted})["sessionId"]
        except OSError:
            self.driver.terminate()
            raise
        return self

    def __exit__(self, *_):
        self.ask("DELETE", "")
        self.driver.terminate()
        self.driver.wait()

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + self.session + path, data, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def run(self, script):
        return self.ask("POST", "/execute/sync", {"script": script, "args": []})

    def tools(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def size(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.tools("Emulation.setDeviceMetricsOverride", **metrics)

    def theme(self, name):
        self.tools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, address, width):
        self.size(width, 800)
        self.ask("POST", "/url", {"url": address})

    def visit(self, path):
        """Goes to another page as a link does, so that charts go on."""
        self.run(
            "const link = document.createElement('a');"
            f"link.href = {json.dumps(path)}; document.body.append(link); link.click(); link.remove();"
        )

    def press(self, text):
        self.run(f"[...document.querySelectorAll('main button')].find((one) => one.innerText.trim() === {json.dumps(text)}).click()")

    def fit(self, width, most):
        """Makes the window as high as the page is."""
        self.size(width, 800)
        time.sleep(0.3)
        height = self.run("return document.documentElement.scrollHeight")
        self.size(width, min(height, most))
        time.sleep(0.5)

    def picture(self):
        return base64.b64decode(self.tools("Page.captureScreenshot", format="png")["data"])
