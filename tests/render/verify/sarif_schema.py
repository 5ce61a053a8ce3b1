"""What the SARIF 2.1.0 schema asks of the objects that we write, and GitHub on top of it.

From the OASIS standard's JSON schema (sarif-schema-2.1.0.json): for each object its properties
(no others are allowed), those that are required, and the closed sets of values.
"""

from __future__ import annotations

import re

LEVELS = {"none", "note", "warning", "error"}
COLUMN_KINDS = {"utf16CodeUnits", "unicodeCodePoints"}


def _names(text):
    return set(text.split())


OBJECTS = {
    "log": ({"version", "runs"}, {"$schema", "inlineExternalProperties", "properties"}),
    "run": (
        {"tool"},
        _names(
            "invocations conversion language versionControlProvenance originalUriBaseIds artifacts "
            "logicalLocations graphs results automationDetails runAggregates baselineGuid "
            "redactionTokens defaultEncoding defaultSourceLanguage newlineSequences columnKind "
            "externalPropertyFileReferences threadFlowLocations taxonomies addresses translations "
            "policies webRequests webResponses specialLocations properties"
        ),
    ),
    "tool": ({"driver"}, {"extensions", "properties"}),
    "toolComponent": (
        {"name"},
        _names(
            "guid organization product productSuite shortDescription fullDescription fullName "
            "version semanticVersion dottedQuadFileVersion releaseDateUtc downloadUri "
            "informationUri globalMessageStrings notifications rules taxa locations language "
            "contents isComprehensive localizedDataSemanticVersion "
            "minimumRequiredLocalizedDataSemanticVersion associatedComponent translationMetadata "
            "supportedTaxonomies properties"
        ),
    ),
    "reportingDescriptor": (
        {"id"},
        _names(
            "deprecatedIds guid deprecatedGuids name deprecatedNames shortDescription "
            "fullDescription messageStrings defaultConfiguration helpUri help relationships "
            "properties"
        ),
    ),
    "multiformatMessageString": ({"text"}, {"markdown", "properties"}),
    "reportingConfiguration": (set(), {"enabled", "level", "rank", "parameters", "properties"}),
    "message": (set(), {"text", "markdown", "id", "arguments", "properties"}),
    "artifactLocation": (set(), {"uri", "uriBaseId", "index", "description", "properties"}),
    "invocation": (
        {"executionSuccessful"},
        _names(
            "commandLine arguments responseFiles startTimeUtc endTimeUtc exitCode "
            "ruleConfigurationOverrides notificationConfigurationOverrides "
            "toolExecutionNotifications toolConfigurationNotifications exitCodeDescription "
            "exitSignalName exitSignalNumber processStartFailureMessage machine account processId "
            "executableLocation workingDirectory environmentVariables stdin stdout stderr "
            "stdoutStderr properties"
        ),
    ),
    "notification": (
        {"message"},
        _names("locations level threadId timeUtc exception descriptor associatedRule properties"),
    ),
    "result": (
        {"message"},
        _names(
            "ruleId ruleIndex rule kind level analysisTarget locations guid correlationGuid "
            "occurrenceCount partialFingerprints fingerprints stacks codeFlows graphs "
            "graphTraversals relatedLocations suppressions baselineState rank attachments "
            "hostedViewerUri workItemUris provenance fixes taxa webRequest webResponse "
            "properties"
        ),
    ),
    "location": (
        set(),
        _names("id physicalLocation logicalLocations message annotations relationships properties"),
    ),
    "physicalLocation": (
        set(),
        {"address", "artifactLocation", "region", "contextRegion", "properties"},
    ),
    "region": (
        set(),
        _names(
            "startLine startColumn endLine endColumn charOffset charLength byteOffset byteLength "
            "snippet message sourceLanguage properties"
        ),
    ),
    "logicalLocation": (
        set(),
        {"name", "index", "fullyQualifiedName", "decoratedName", "parentIndex", "kind"}
        | {"properties"},
    ),
}

CHILDREN = {
    ("log", "runs"): "run",
    ("run", "tool"): "tool",
    ("tool", "driver"): "toolComponent",
    ("toolComponent", "rules"): "reportingDescriptor",
    ("reportingDescriptor", "shortDescription"): "multiformatMessageString",
    ("reportingDescriptor", "fullDescription"): "multiformatMessageString",
    ("reportingDescriptor", "help"): "multiformatMessageString",
    ("reportingDescriptor", "defaultConfiguration"): "reportingConfiguration",
    ("run", "invocations"): "invocation",
    ("invocation", "toolExecutionNotifications"): "notification",
    ("notification", "message"): "message",
    ("run", "results"): "result",
    ("result", "message"): "message",
    ("result", "locations"): "location",
    ("location", "physicalLocation"): "physicalLocation",
    ("location", "logicalLocations"): "logicalLocation",
    ("physicalLocation", "artifactLocation"): "artifactLocation",
    ("physicalLocation", "region"): "region",
    ("artifactLocation", "description"): "message",
}

# RFC 3986: a reference has no character that needs quoting
_URI = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*:)?([\w!$&'()*+,;=:@/?#~.-]|%[0-9A-Fa-f]{2})*", re.ASCII
)


def check(value, kind="log", where="log"):
    """Asserts that a JSON object is of a kind, and so is all that it holds."""
    assert isinstance(value, dict), where
    required, optional = OBJECTS[kind]
    assert required <= set(value), f"{where} lacks {required - set(value)}"
    assert set(value) <= required | optional, f"{where}: {set(value) - required - optional}"
    for key, item in value.items():
        child = CHILDREN.get((kind, key))
        for number, one in enumerate(item if isinstance(item, list) else [item]):
            if child is not None:
                check(one, child, f"{where}.{key}[{number}]")
    _values(value, kind, where)


def _values(value, kind, where):
    if kind == "log":
        assert value["version"] == "2.1.0"
    if kind == "run":
        assert value.get("columnKind") in {None, *COLUMN_KINDS}
        for name, base in value.get("originalUriBaseIds", {}).items():
            check(base, "artifactLocation", f"{where}.{name}")
            assert base.get("uri", "/").endswith("/")
    if "level" in value:
        assert value["level"] in LEVELS, where
    if kind == "message":
        assert "text" in value or "id" in value, where
    if kind == "region":
        assert value["startLine"] >= 1, where
    if kind == "artifactLocation" and "uri" in value:
        assert _URI.fullmatch(value["uri"]), value["uri"]
    if kind == "result":
        assert value.get("ruleIndex", -1) >= -1
        assert value.get("occurrenceCount", 1) >= 1
        fingerprints = value.get("partialFingerprints", {})
        assert all(isinstance(x, str) for x in fingerprints.values()), where


def check_for_github(document):
    """Asserts what code scanning asks for beyond the schema."""
    for run in document["runs"]:
        rules = run["tool"]["driver"]["rules"]
        assert len({x["id"] for x in rules}) == len(rules) <= 25_000
        for rule in rules:
            assert len(rule["id"]) <= 255
            assert len(rule["name"]) <= 255
            assert len(rule["shortDescription"]["text"]) <= 1024
            assert len(rule["fullDescription"]["text"]) <= 1024
            assert rule["help"]["text"]
            assert len(rule["properties"]["tags"]) <= 10
        assert len(run["results"]) <= 25_000
        prints = [(x["ruleId"], *sorted(x["partialFingerprints"].items())) for x in run["results"]]
        assert len(set(prints)) == len(prints), "GitHub would take two results for one"
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            assert result["message"]["text"]
            assert 1 <= len(result["locations"]) <= 1000
            place = result["locations"][0]["physicalLocation"]
            assert place["artifactLocation"]["uri"]
            assert place["region"]["startLine"]
