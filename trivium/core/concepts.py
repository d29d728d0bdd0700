"""Words and phrases that mean the same to a help desk, each row one concept. Data only.

Not a dictionary of English: it holds what people vary when they ask for the same answer. A trained verifier weighs
agreement of concepts against everything else, so a missing row costs a hit and a row too wide costs a refusal elsewhere.
Phrases have underscores; words are matched as written, then by their stem.
"""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONCEPTS: Final[dict[str, str]] = {
    "refund": "refund refunds refunded refunding reimburse reimbursed reimbursement reimbursements money_back money_returned get_back_what_i_paid "
              "refundable chargeback give_back_my_money",
    "return": "return returns returned returning send_back sending_back send_something_back send_it_back send_an_item_back",
    "exchange": "exchange swap trade replace replacement replaced",
    "order": "order orders ordered ordering purchase purchases purchased purchasing buy buying bought transaction transactions",
    "parcel": "parcel package shipment packet parcels packages shipments box delivery deliveries deliver delivered delivering ship "
              "shipping shipped postage courier dispatch dispatched freight",
    "item": "item items article articles product products good goods piece pieces merchandise",
    "damaged": "damaged broken smashed faulty defective cracked in_pieces torn defect damage",
    "cancel": "cancel cancelled canceled cancelling canceling cancellation terminate termination end quit discontinue call_off withdraw undo "
 "revert reverse ",
    "subscription": "subscription subscriptions membership plan plans package tier subscribe subscribed subscriber packages tiers",
    "pause": "pause paused pausing suspend hold on_hold freeze break",
    "resume": "resume resumed reactivate restart unpause going_again",
    "renew": "renew renewal renews renewed extend extended auto_renew auto_renewal automatic_renewal autorenewal prolong",
    "upgrade": "upgrade upgraded upgrading higher bigger better go_up going_up move_up",
    "downgrade": "downgrade downgraded downgrading lower smaller cheaper go_down going_down move_down",
    "trial": "trial trials test_phase free_period try_out trial_period trial_version",
    "price": "price prices pricing cost costs fee fees charge charges how_much expensive rates tariff payable",
    "discount": "discount discounts reduction reduced special_price rebate better_price lower_price pay_less special_pricing",
    "coupon": "coupon coupons promo promotional promo_code promo_codes coupon_code discount_code discount_codes promotional_code "
              "voucher_code",
    "giftcard": "gift_card gift_cards voucher vouchers gift_certificate gift_voucher",
    "free": "free gratis complimentary no_charge for_nothing without_paying",
    "invoice": "invoice invoices bill bills receipt receipts billing_statement",
    "pay": "pay pays paid paying payment payments billing billed bill_me charged debit debited debits",
    "card": "card cards credit_card debit_card payment_method payment_methods bank_card mastercard visa",
    "twice": "twice double doubled duplicate duplicated two_times two_payments two_charges double_charge",
    "installment": "instalment instalments installment installments payment_plan payment_plans split spread",
    "decline": "decline declined rejected reject refused refuse fail failed fails failing not_go_through denied not_accepted unsuccessful",
    "password": "password passwords passcode passphrase login_credentials ",
    "reset": "reset recover recovery restore restored regain",
    "forget": "forgot forgotten forget lost lose losing not_remember misplaced",
    "change": "change changed changes changing edit edited update updated modify modified alter adjust switch_to replace amend ",
    "email": "email e_mail emails mail mails mail_address email_address e_mail_address",
    "account": "account accounts profile profiles",
    "login": "login log_in logging_in sign_in signing_in signin log_on sign_on logon logins logged_in get_into let_me_in access_my_account",
    "register": "register registered registration sign_up signup create_account open_account enroll",
    "remove": "remove removed removing delete deleted deleting erase erased wipe get_rid_of take_off take_out ",
    "add": "add added adding additional extra insert",
    "verify": "verify verification confirm confirmation activation activate_link confirming identity_check verified validate",
    "twofactor": "two_factor two_factor_authentication 2fa two_step two_step_verification second_factor authenticator authenticator_app mfa "
                 "multi_factor login_code authenticator_codes authenticator_device two_factor_device",
    "sso": "sso saml single_sign_on single_sign_in identity_provider company_login okta",
    "hacked": "hacked compromised stranger unauthorised unauthorized somebody_else stolen break_in fraud fraudulent",
    "merge": "merge combine join consolidate put_together unite",
    "language": "language languages german english french spanish translation",
    "picture": "picture photo avatar image pictures photos images",
    "stop": "stop stopped stopping stops cease",
    "phone": "phone phones telephone mobile_number phone_number telephone_number",
    "invite": "invite invited inviting invitation give_access",
    "colleague": "colleague colleagues coworker coworkers teammate teammates member members user users staff employee employees team_member people",
    "seat": "seat seats licence licences license licenses",
    "admin": "admin admins administrator administrators administrator_rights",
    "role": "role roles permission permissions rights privilege privileges",
    "owner": "owner ownership owners hand_over",
    "workspace": "workspace organisation organization team workspaces teams",
    "auditlog": "audit_log audit_trail activity_history activity_log record_of_actions who_did_what",
    "data": "data information records details info",
    "export": "export exported exporting exports download_data take_my_data get_out",
    "import": "import imported importing imports bring_in upload uploaded uploading",
    "download": "download downloads downloaded downloading",
    "privacy": "privacy private third_parties third_party gdpr data_protection",
    "server": "server servers data_centre data_centres data_center data_centers hosted hosts hosting region stored",
    "certificate": "certificate certificates certified certification certifications soc soc_2 iso iso_27001 auditor auditors",
    "backup": "backup backups restore recover bring_back get_it_back",
    "storage": "storage space room disk capacity",
    "notification": "notification notifications alert alerts push_messages push_message push notify notified notifies reminder reminders",
    "enable": "enable enabled enabling turn_on switch_on activate activated turn_it_on switch_it_on set_up",
    "disable": "disable disabled disabling turn_off switch_off deactivate deactivated turn_it_off switch_it_off",
    "newsletter": "newsletter newsletters mailing_list marketing_emails marketing advertising promotional_mail marketing_email promotional_emails",
    "optout": "unsubscribe unsubscribing opting_out unsubscribed opt_out take_me_off stop_sending",
    "crash": "crash crashes crashing crashed freezes quits closes_by_itself shuts_down stops_working freeze",
    "slow": "slow sluggish slowly takes_ages lag laggy takes_forever faster",
    "down": "down outage outages unreachable not_reachable offline_service status_page",
    "app": "app apps application applications program programme software client",
    "install": "install installed installing installation set_up setup",
    "uninstall": "uninstall uninstalled uninstalling deinstall",
    "version": "version versions release releases latest newest up_to_date",
    "mobile": "mobile phone_app mobile_application mobile_app smartphone iphone android ios tablet phone_app",
    "offline": "offline without_internet no_network no_internet not_connected without_connection internet_connection",
    "darkmode": "dark_mode dark_theme night_theme night_mode black_background",
    "apikey": "key_to_call api_key api_keys api_token api_tokens access_key access_keys access_token token tokens",
    "ratelimit": "rate_limit rate_limits throttled throttling throttle requests_per_minute",
    "api": "api apis rest interface endpoint_api developer developers",
    "webhook": "webhook webhooks callback callbacks callback_url event_callbacks",
    "connect": "connect connects connected connecting link linked linking plug hook_up",
    "integration": "integration integrations integrate integrates connects third_party_apps interoperate",
    "support": "support customer_service customer_support help_desk helpdesk agent human real_person representative person",
    "contact": "contact reach talk talk_to speak speak_to get_hold_of get_in_touch ",
    "hours": "opening_hours hours open_hours available_hours weekends weekend at_what_times",
    "complaint": "complaint complaints complain unhappy dissatisfied unsatisfied manager",
    "ticket": "ticket tickets support_request case inquiry enquiry",
    "review": "review reviews rate rate_the rating testimonial stars opinion feedback",
    "feature": "feature features functionality function functions capability",
    "suggest": "suggest suggestion idea request_feature propose",
    "revoke": "revoke revoked invalidate leaked deactivate_key",
    "find": "find locate look_up",
    "bug": "bug bugs defect_report defect malfunction",
    "job": "hiring job jobs position positions vacancies vacancy careers career work_for",
    "address": "address addresses postal_address located headquarters office",
    "referral": "referral refer recommending recommend referring bring_friends invite_friends",
    "points": "points loyalty rewards reward bonus_points loyalty_points loyalty_scheme loyalty_programme",
    "arrive": "arrive arrived arrives shown_up show_up turn_up turned_up get_here ",
    "waiting": "waiting pending processing processed process delayed late overdue",
    "track": "track tracking follow whereabouts status progress how_far_along",
    "duration": "how_long duration time_frame timeframe how_many_days how_soon how_quickly how_fast processing_time time_limit deadline until_when "
                "by_when",
    "fast": "express urgent urgently quicker faster rush next_day same_day speed_up expedite expedited asap",
    "foreign": "abroad international internationally overseas countries country foreign outside_the_country",
    "customs": "customs duty duties import_tax import_taxes import_duty",
    "pickup": "pick_up pickup collect fetch click_and_collect in_store",
    "stock": "stock restock restocked sold_out unavailable in_stock out_of_stock back_in_stock",
    "gift": "gift present wrap wrapped wrapping gift_wrap",
    "warranty": "warranty guarantee warranties guaranteed",
    "bulk": "bulk wholesale large_orders big_quantity large_quantity volume many_pieces",
    "receive": "receive received receives receiving gotten",
    "wrong": "wrong incorrect mistake error incorrectly misspelled not_correct ",
    "missing": "missing not_in incomplete lacking",
    "student": "student students university universities education studying school academic",
    "nonprofit": "nonprofit nonprofits non_profit charity charities charitable ngo ngos non_profits",
    "annual": "annual annually yearly once_a_year per_year every_year ",
    "monthly": "monthly every_month per_month each_month ",
    "difference": "difference differences differ compare comparison vs versus",
    "label": "label labels",
    "unopened": "opened unpacked unboxed packaging ",
    "size": "size sizes fit",
    "accept": "accept accepts accepted take_cards",
    "atm": "atm cash_machine cashpoint atms cash_machines",
    "topup": "top_up topping_up topped_up top_ups topup add_money deposit load_money put_money",
    "transfer": "transfer transfers transferred transferring send_money wire sent_money",
    "cash": "cash withdrawal withdraw withdrawing withdrawals withdrew",
    "exchangerate": "exchange_rate exchange_rates rate_of_exchange conversion_rate",
    "limit": "limit limits maximum max restriction restrictions cap limitations",
    "block": "block blocked locked lock unlock unblock suspended",
    "identity": "identity id prove who_i_am passport",
    "salary": "salary paycheck wages wage",
    "document": "document documents file files folder folders",
    "share": "share sharing shared",
    "duplicate": "copy duplicate clone",
    "encrypt": "encrypt encrypted encryption",
}  # fmt: skip

ACTIONS: Final = _words(
    "refund return exchange order cancel pause resume renew upgrade downgrade pay reset forget change register remove add verify "
    "hacked merge invite export import download backup enable disable optout crash install uninstall contact complaint suggest "
    "review arrive track pickup topup transfer cash block share duplicate encrypt stop revoke connect receive login find decline "
    "restart upload report"
)
"""Concepts that say what is to be done with a thing."""

FACETS: Final = _words(
    "damaged twice installment free price discount waiting duration fast foreign customs stock gift warranty bulk wrong missing "
    "student nonprofit annual monthly difference label unopened size limit slow down offline privacy hours address "
    "version trial language role owner exchangerate accept mobile bug certificate feature server"
)
"""Concepts that say which side of a thing is asked about. The concepts in neither set are the things themselves."""

TRACKED: Final = _words("parcel order refund")
"""Things of which "where" asks how far they have come."""

KIN: Final = (
    "book reserve reservation schedule", "need require necessary must want", "detect recognise see find", "file submit lodge send hand",
    "visit come attend see", "borrow loan lend", "consequence happen result effect", "cover include insure protect", "begin start commence open apply",
    "end finish expire close over run_out", "answer reply respond response", "assign give allocate", "money amount sum", "person customer user",
    "see view visible show look check", "carry bring take transport", "food meal eat", "outlet socket plug", "operation surgery procedure",
    "work function run operate", "compatible support run work fit", "calculate compute determine", "choose pick select", "employee worker staff colleague",
    "closest nearest near", "entitle eligible qualify allow right", "permit allow may accept", "belong part member include", "type enter fill input write put",
    "approve sign authorise authorize", "move change switch transfer", "buy purchase order get", "phone mobile call", "email mail send",
    "holiday leave vacation", "clinic doctor hospital surgery", "flight fly plane", "drive driving car", "ride travel trip journey",
    "price cost charge fee pay", "tariff plan rate", "salary pay wage earn", "owe debt pay due", "tax taxes", "bill invoice charge", "cheap expensive price",
    "publish release come_out out", "update news status change", "current now latest", "status where track", "damage break broken harm", "wait waiting delay",
    "sent ship parcel way arrive", "arrive come reach deliver receive get", "reach contact call dial", "talk speak discuss", "explain describe", "teach course class lesson",
    "translate translation language", "convert turn change transform", "copy duplicate transfer", "move transfer migrate switch", "import bring load", "export download get",
    "delete remove erase", "stop cancel end terminate", "keep retain store hold save", "set_up create install enable make open", "room space place", "shop store branch",
    "car vehicle rental", "bag luggage baggage suitcase", "bike bicycle", "tv television", "laptop computer", "screen display monitor", "photo picture image",
    "seat place", "ticket pass", "passport document", "address location", "deadline due", "duration time period", "minimum least smallest lowest", "maximum most largest highest",
    "repair fix mend", "replace exchange swap change substitute", "lost missing gone", "refuse reject decline deny", "fail failure", "error fault problem issue",
    "insurance insurer policy cover", "medicine drug tablet pill medication", "illness sick disease", "child kid", "baby infant", "flat apartment home house",
    "landlord owner", "tenant renter", "boss manager supervisor", "company firm business employer", "job position work", "exam test", "university college",
    "complain complaint", "claim request demand", "apply application request", "register enrol join sign_up", "attend participate join take_part", "number amount count total",
    "another extra additional add", "open free available", "possible available", "valid accept", "worth sense", "size fit big", "new replacement", "spill spilled",
    "noise loud sound hear", "heat heating warm", "leak drip", "silence mute quiet", "block lock freeze", "secure security safe", "steal theft stolen", "hide invisible private",
)  # fmt: skip
"""Words that may stand for one another in a question, beside those that share a sense in WordNet. A hint to the score, no more."""
