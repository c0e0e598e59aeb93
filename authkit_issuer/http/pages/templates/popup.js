"use strict";
const told = JSON.parse(document.getElementById("told").textContent);
if (window.opener) {
  window.opener.postMessage(told.message, told.origin);
  window.close();
} else {
  window.location.replace(told.instead);
}
