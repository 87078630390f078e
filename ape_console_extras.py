"""What `ape console` has at hand: `assay` and `market`, `court`, `stakes`, `verifiers`, `token`,
`bid`, `mint`.

Where the connected chain has what deployments/local.json (or ASSAY_DEPLOYMENT) names. Reads are
those of `worker.chain`; `bid` and `mint` take one of ape's accounts:

    In [1]: market.task(0)
    In [2]: mint(accounts.test_accounts[1], 10**21)
    In [3]: bid(accounts.test_accounts[1], 0, 10**18)
"""

import os
from pathlib import Path

from worker.chain import ChainError, Deployment, Job, Phase, Status, Terms, connect


def ape_init_extras(project, chain):
    """The names above, or only the types where there is no deployment on this chain."""
    names = {"Deployment": Deployment, "Job": Job, "Phase": Phase, "Status": Status, "Terms": Terms}
    registry = Path(os.environ.get("ASSAY_DEPLOYMENT", "deployments/local.json"))
    try:
        assay = connect(chain.provider.web3, Deployment.load(registry))
    except ChainError as error:
        print(f"no Assay here: {error}")
        return names
    where = assay.deployment

    def post(account, job, terms):
        """Posts a task as `account`, approving the escrow first."""
        token = project.TestToken.at(where.token)
        token.approve(where.market, terms.max_price + terms.verifier_fee, sender=account)
        return project.Market.at(where.market).post(job.to_abi(), terms.to_abi(), sender=account)

    def bid(account, task, price):
        """Bids for a task as `account`."""
        return project.Market.at(where.market).bid(task, price, sender=account)

    def mint(account, amount):
        """Gives `account` play money."""
        return project.TestToken.at(where.token).mint(account, amount, sender=account)

    names |= {"assay": assay, "deployment": where, "post": post, "bid": bid, "mint": mint}
    names |= {
        name: getattr(assay, name) for name in ("market", "court", "stakes", "verifiers", "token")
    }
    return names
