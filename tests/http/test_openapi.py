"""The OpenAPI document made from the table, and the page that shows it."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from importlib.metadata import version
from typing import Any, get_args, get_type_hints

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from authkit_issuer.http import openapi
from authkit_issuer.http.app import OPERATIONS
from authkit_issuer.http.operations import Auth, NoParams, Operation
from authkit_issuer.http.pages import html
from authkit_issuer.http.pages.docs import Docs

DOCS = Docs(OPERATIONS, base_url=None)
ALL = DOCS.operations

OPERATION_IDS = (
    "acceptOrgInvite", "addOrgMember", "addSecondFactor", "adminAddWebhook", "adminBanUser",
    "adminDefineRole", "adminDeleteUser", "adminDisableWebhook", "adminEnableWebhook",
    "adminExplainUser", "adminGetUser", "adminGetWebhook", "adminGrantRole", "adminListDeletedUsers",
    "adminListRoles", "adminListSignIns", "adminListUserPasskeys", "adminListUserSessions",
    "adminListUsers", "adminListWebhooks", "adminRecoverUser", "adminRemoveUserPasskey",
    "adminRemoveWebhook",
    "adminReplayWebhook", "adminRestoreUser", "adminRevokeRole", "adminRevokeUserSessions",
    "adminRotateWebhook", "adminSetEmail", "adminSetPassword", "adminSetUsername", "adminTestWebhook",
    "adminToggleActive", "adminUnbanUser", "assignOrgRole", "beginPasskeyLogin",
    "beginPasskeyRegistration", "beginPasskeySecondFactor", "beginPasskeyStepUp", "beginTotp",
    "cancelEmailChange", "cancelOwnRecovery", "cancelPhoneChange", "cancelRecovery", "changePassword",
    "completeRecovery", "completeTwoFactorLogin", "getRecovery", "startRecovery",
    "confirmEmailChange", "confirmEmailVerification", "confirmEmailVerificationLink", "confirmPasskey",
    "confirmPasswordReset", "confirmPasswordResetLink", "confirmPasswordless",
    "confirmPhoneChange",
    "confirmPhonePasswordReset", "confirmPhoneVerification", "confirmProvider", "confirmTotp",
    "confirmTwoFactor", "createOrg", "createOrgInvite", "createSolanaChallenge", "declineOrgInvite",
    "defineOrgRole", "deleteAccount", "deleteOrg", "deleteOrgRole", "deleteOrgRoleByBody",
    "denyEmailVerificationLink", "disableTwoFactor", "enableTwoFactor", "eraseDeletedAccount",
    "exportAccount", "finishDiscordLogin", "finishExternalLogin", "finishExternalLoginForm",
    "finishNativeLogin", "finishPasskeyLogin", "finishPasskeyRegistration", "finishPasskeySecondFactor",
    "finishPasskeyStepUp", "forgetDevice", "forgetDevices", "getAuthorizationServerMetadata", "getBootstrap",
    "getBrowserClient", "getBrowserClientTypes", "getCapabilities", "getCurrentSession", "getDocs",
    "getHealth", "getJwks", "getMe", "getOpenApi", "getOpenidConfiguration", "getOrg", "getOrgPolicy",
    "getOwnOrgInvite", "getPasskeyClient", "getPasskeyClientTypes", "getPasswordlessClient",
    "getPasswordlessClientTypes", "getPinnedBrowserClient", "getRecoveryClient", "getRecoveryClientTypes",
    "getReadiness", "getRelatedOrigins", "getTwoFactor", "introspectToken", "issueOrgToken",
    "linkSolanaWallet", "listAccountEvents", "listLinkedProviders", "listOrgInvites",
    "listOrgMemberRoles", "listOrgMembers", "listOrgRoles", "listOrgs", "listOwnOrgInvites",
    "listPasskeys", "listSessions", "login", "loginWithSolana", "logout", "readInbox", "readMail",
    "redeemExternalResult", "refreshTokens", "regenerateBackupCodes", "register", "removeOrgMember",
    "removeOrgMemberByBody", "removePasskey", "removeSecondFactor", "renameOrg", "renamePasskey",
    "reportSms",
    "replaceTemporaryPassword", "requestEmailChange", "requestEmailVerification", "requestPasswordReset",
    "requestPhoneChange", "requestPhonePasswordReset", "requestPhoneVerification", "resendEmailChange",
    "resendPhoneChange", "resendRegistrationEmail", "resendRegistrationPhone", "restoreDeletedAccount",
    "revokeOrgInvite", "revokeSession", "revokeSessions", "revokeToken", "selectSecondFactor",
    "setOrgPolicy", "signOut", "startDiscordLink", "startDiscordLogin", "startExternalLink",
    "startExternalLogin", "startExternalStepUp", "startNativeLink", "startNativeLogin",
    "startPasswordless",
    "startTwoFactorEmail", "startTwoFactorPhone", "stepUpWithPassword", "stepUpWithSolana",
    "stepUpWithTwoFactor", "unassignOrgRole", "unassignOrgRoleByBody", "unlinkProvider",
    "updateBiography", "updateSecondFactor", "updateUsername",
)  # fmt: skip
"""The names of the methods of generated clients: one that changes breaks every caller."""


def _name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def test_the_document_is_valid_openapi_3_1():
    document = json.loads(json.dumps(DOCS.document))
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_the_document_has_the_version_of_the_package():
    assert DOCS.document["info"]["version"] == version("asgi-authkit")


def _operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_document_lists_exactly_the_table():
    found = _operations(DOCS.document)
    assert sorted(name for name, _ in found) == sorted(_name(operation) for operation in ALL)
    ids = [operation["operationId"] for _, operation in found]
    assert len(ids) == len(set(ids))


def test_the_document_says_which_operations_need_a_token():
    secured = {name for name, operation in _operations(DOCS.document) if operation["security"]}
    open_to_all = {Auth.PUBLIC, Auth.LOOPBACK}
    assert secured == {_name(operation) for operation in ALL if operation.auth not in open_to_all}


def test_an_operation_that_a_refresh_token_alone_can_call_needs_no_access_token():
    spared = [operation for operation in OPERATIONS if operation.or_refresh_token]
    assert {operation.path for operation in spared} == {"/auth/logout"}
    for operation in spared:
        entry = DOCS.document["paths"][operation.path][operation.method.lower()]
        assert entry["security"] == [{}, {"accessToken": []}]


def test_the_document_names_every_code_an_operation_may_answer():
    for operation in OPERATIONS:
        responses = DOCS.document["paths"][operation.path][operation.method.lower()]["responses"]
        for status, codes in openapi.documented_errors(operation).items():
            assert responses[str(status)]["x-error-codes"] == codes
            assert responses[str(status)]["description"].endswith(", ".join(codes))


def test_every_refusal_has_the_one_schema_and_a_variant_where_its_metadata_is_read():
    refusal = {"$ref": "#/components/schemas/Refusal"}
    variants = {
        (401, "two_factor_required"): "TwoFactorRequiredRefusal",
        (403, "step_up_required"): "StepUpRequiredRefusal",
        (400, "invalid_grant"): "InvalidGrantRefusal",
    }
    met = set()
    for operation in OPERATIONS:
        responses = DOCS.document["paths"][operation.path][operation.method.lower()]["responses"]
        for status, codes in openapi.documented_errors(operation).items():
            special = {(status, code) for code in codes} & set(variants)
            met |= special
            expected = [{"$ref": f"#/components/schemas/{variants[key]}"} for key in special]
            schema = responses[str(status)]["content"]["application/json"]["schema"]
            assert schema == ({"anyOf": [*expected, refusal]} if expected else refusal)
    assert met == set(variants)


def test_no_optional_member_has_null_as_its_default():
    """Generators read such a default as a member that is always there."""
    assert '"default": null' not in json.dumps(DOCS.document)


def test_a_body_has_one_media_type_and_the_oauth_endpoints_take_forms():
    forms = set()
    for name, operation in _operations(DOCS.document):
        media_types = list(operation.get("requestBody", {"content": {}})["content"])
        assert len(media_types) <= 1
        if media_types and media_types != ["application/json"]:
            assert media_types == ["application/x-www-form-urlencoded"]
            forms.add(name)
    assert forms == {
        "POST /auth/token", "POST /auth/revoke", "POST /auth/introspect",
        "POST /auth/oidc/{provider}/callback", "POST /auth/sms/status",
    }  # fmt: skip


def test_every_schema_that_is_published_is_used():
    text = json.dumps(DOCS.document)
    schemas = DOCS.document["components"]["schemas"]
    assert [name for name in schemas if f'"#/components/schemas/{name}"' not in text] == []


def test_no_member_is_named_like_its_schema():
    """Generated Python classes shadow their own name in the annotation of such a member."""
    named = [
        (name, member)
        for name, schema in DOCS.document["components"]["schemas"].items()
        for member in schema.get("properties", {})
        if member == re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    ]
    assert named == []


def test_the_grant_type_is_an_enumeration():
    schema = DOCS.document["components"]["schemas"]["TokenRequest"]["properties"]["grant_type"]
    assert schema["enum"] == ["refresh_token"]


def test_the_login_body_is_documented_with_one_name_of_the_identifier():
    schema = DOCS.document["components"]["schemas"]["Login"]
    assert list(schema["properties"]) == ["identifier", "password", "org"]
    assert schema["required"] == ["identifier", "password"]
    assert "oneOf" not in schema


def test_operation_ids_are_names_that_stay():
    ids = {operation["operationId"] for _, operation in _operations(DOCS.document)}
    assert ids == set(OPERATION_IDS)
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]*)*", name) for name in ids)


def test_members_that_are_left_out_when_empty_are_not_required():
    schemas = DOCS.document["components"]["schemas"]
    assert schemas["RegistrationStarted"]["required"] == ["ok", "message", "registration_id"]
    assert set(schemas["TokenResponse"]["required"]) == {
        "access_token",
        "token_type",
        "expires_in",
        "refresh_token",
    }


def test_a_known_address_stands_in_the_document():
    assert openapi.document(ALL, base_url="https://id.example/api")["servers"] == [
        {"url": "https://id.example/api"}
    ]
    assert DOCS.document["servers"] == [{"url": "."}]


async def test_the_page_lists_every_operation_without_any_script():
    answer = await DOCS.docs(None)
    text = answer.body.decode()
    for operation in ALL:
        assert f'<span class="path">{operation.path}</span>' in text
        assert operation.summary in text
    assert "<script" not in text
    assert not re.search(r"""\son\w+=|(src|href)=["'](?:https?:)?//""", text)


async def test_the_page_shows_the_members_of_requests_and_responses():
    text = (await DOCS.docs(None)).body.decode()
    entry = text.partition('<span class="path">/auth/register</span>')[2].partition("</details>")[0]
    takes, _, returns = entry.partition("<h3>Returns</h3>")
    assert "<code>password</code>" in takes
    assert "<code>registration_id</code></td><td>string</td>" in returns
    assert "<code>phone</code></td><td>string, optional</td>" in returns


async def test_the_page_shows_code_as_code_and_escapes_it():
    text = (await DOCS.docs(None)).body.decode()
    assert "<code>error_description</code>" in text
    assert "`" not in text
    assert html._with_code("a `<b>` & c") == "a <code>&lt;b&gt;</code> &amp; c"


async def test_the_page_allows_its_own_style_and_nothing_else():
    answer = await DOCS.docs(None)
    policy = dict(answer.headers)[b"content-security-policy"].decode()
    digest = re.search(r"style-src 'sha256-([^']+)'", policy)
    assert digest is not None
    style = re.search(r"<style>(.*?)</style>", answer.body.decode(), re.DOTALL)
    assert style is not None
    assert digest[1] == html.digest(style[1])
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/html", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/json, text/html;q=0", False),
        ("TEXT/HTML; q=0.5", True),
    ],
)
def test_a_page_is_for_those_who_ask_for_html(accept, page):
    assert html.wanted(accept) is page


def test_parameters_are_documented_where_they_are_read():
    paths = DOCS.document["paths"]
    (one,) = paths["/auth/user/sessions/{session_id}"]["delete"]["parameters"]
    assert (one["name"], one["in"], one["required"]) == ("session_id", "path", True)
    (keep,) = paths["/auth/user/sessions"]["delete"]["parameters"]
    assert (keep["name"], keep["in"], keep["required"]) == ("keep_current", "query", False)
    bare = [operation for operation in ALL if operation.params is NoParams and "{" not in operation.path]
    assert not any("parameters" in paths[o.path][o.method.lower()] for o in bare)


def test_a_member_that_may_be_left_out_of_an_answer_is_not_required_by_the_document():
    found = {
        (operation.name, field.name)
        for operation in OPERATIONS
        if operation.omit_none
        for field in fields(operation.returns)
        if type(None) in get_args(get_type_hints(operation.returns)[field.name]) and field.default is not None
    }
    assert found == set()
