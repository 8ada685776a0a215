"""Blocks that send messages: ``SlackWebhook.load("alerts").notify("It failed.")``.

They are called what they are called in Prefect 3 (``prefect.blocks.notifications``) and have its fields. Slack, Teams,
PagerDuty, Twilio, Opsgenie, Mattermost, Discord, SendGrid, mail and webhooks of one's own need nothing but this
package; ``AppriseNotification`` reaches the other services that Apprise knows (extra ``orchestrator[notify]``).
"""

from orchestrator.blocks.abstract import NotificationBlock
from orchestrator.blocks.notifications.apprise import AppriseNotification, AppriseNotificationBlock
from orchestrator.blocks.notifications.base import ServiceNotificationBlock
from orchestrator.blocks.notifications.custom import CustomWebhookNotificationBlock
from orchestrator.blocks.notifications.mail import EmailNotification, EmailServerCredentials, SendgridEmail
from orchestrator.blocks.notifications.paging import OpsgenieWebhook, PagerDutyWebHook, TwilioSMS
from orchestrator.blocks.notifications.team_chat import (
    DiscordWebhook,
    MattermostWebhook,
    MicrosoftTeamsWebhook,
    SlackWebhook,
)
from orchestrator.errors import NotificationError

__all__ = [
    "AppriseNotification",
    "AppriseNotificationBlock",
    "CustomWebhookNotificationBlock",
    "DiscordWebhook",
    "EmailNotification",
    "EmailServerCredentials",
    "MattermostWebhook",
    "MicrosoftTeamsWebhook",
    "NotificationBlock",
    "NotificationError",
    "OpsgenieWebhook",
    "PagerDutyWebHook",
    "SendgridEmail",
    "ServiceNotificationBlock",
    "SlackWebhook",
    "TwilioSMS",
]
